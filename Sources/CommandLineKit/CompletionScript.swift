/// What a shell needs to complete a program's command lines, made from the program's own declarations: verbs, options, and what options
/// take. Files and folders are left to the shell.
struct CompletionScript {
  enum Shell: String, CaseIterable, Sendable { case bash, zsh, fish }

  let root: Command
  private let outlines: [CommandOutline]

  init(_ root: Command) {
    self.root = root
    outlines = CommandOutline.all(root)
  }

  /// Ends with a line feed.
  func text(for shell: Shell) -> String {
    switch shell {
    case .bash: bash
    case .zsh: ZshCompletion(root).text
    case .fish: fish
    }
  }

  // MARK: bash

  private var bash: String {
    let cases = outlines.map { outline in
      let valued = outline.options.flatMap(\.spellings)
      let words = valued + outline.flags.flatMap(\.spellings)
      return "    \(quoted(outline.name))) verbs=\(quoted(list(outline.command.subcommands.map(\.name)))) "
        + "options=\(quoted(list(words))) valued=\(quoted(list(valued))) ;;"
    }
    let choices = outlines.flatMap { outline in
      outline.options.filter { !$0.choices.isEmpty }.map { option in
        let patterns = option.spellings.map { quoted("\(outline.name) \($0)") }.joined(separator: " | ")
        return "    \(patterns)) choices=\(quoted(list(option.choices))) ;;"
      }
    }
    return """
      # bash completion of \(root.name), made by “\(root.name) completions bash”.
      _\(root.name)_about() {
        verbs= options= valued=
        case $1 in
      \(cases.joined(separator: "\n"))
        esac
      }

      _\(root.name)_choices() {
        choices=
        case $1 in
      \(choices.isEmpty ? "    *) ;;" : choices.joined(separator: "\n"))
        esac
      }

      _\(root.name)() {
        local word path=\(root.name) option= has_argument= verbs options valued choices place
        local current=${COMP_WORDS[COMP_CWORD]}
        COMPREPLY=()
        _\(root.name)_about "$path"
        for ((place = 1; place < COMP_CWORD; place++)); do
          word=${COMP_WORDS[place]}
          # With --name=value the sign is a word of its own.
          [ "$word" = = ] && continue
          if [ -n "$option" ]; then option=; continue; fi
          case $word in
            -*) case " $valued " in *" $word "*) option=$word ;; esac ;;
            *)
              case " $verbs " in
                *" $word "*) if [ -z "$has_argument" ]; then path="$path $word"; _\(root.name)_about "$path"; continue; fi ;;
              esac
              has_argument=yes ;;
          esac
        done
        [ "$current" = = ] && current=
        if [ -n "$option" ]; then
          _\(root.name)_choices "$path $option"
          COMPREPLY=($(compgen -W "$choices" -- "$current"))
        elif [ "${current:0:1}" = - ]; then
          COMPREPLY=($(compgen -W "$options" -- "$current"))
        elif [ -z "$has_argument" ]; then
          COMPREPLY=($(compgen -W "$verbs" -- "$current"))
        fi
      }

      # What has no words of ours is completed as a file.
      complete -o default -F _\(root.name) \(root.name)

      """
  }

  // MARK: fish

  private var fish: String {
    let verbs = outlines.dropFirst().map { quoted($0.name) }.joined(separator: " ")
    let valued = outlines.flatMap { outline in outline.options.flatMap(\.spellings).map { quoted("\(outline.name) \($0)") } }
    var lines: [String] = []
    for outline in outlines {
      let condition = "complete -c \(root.name) -n \(fishQuoted("__\(root.name)_at \(outline.name)"))"
      for verb in outline.command.subcommands { lines.append("\(condition) -f -a \(verb.name) -d \(fishQuoted(verb.summary))") }
      for option in outline.options {
        let takes = option.choices.isEmpty ? "-r" : "-x -a \(fishQuoted(list(option.choices)))"
        lines.append("\(condition) -l \(option.name)\(short(option.short)) \(takes) -d \(fishQuoted(option.help))")
      }
      for flag in outline.flags { lines.append("\(condition) -l \(flag.name)\(short(flag.short)) -d \(fishQuoted(flag.help))") }
    }
    return """
      # fish completion of \(root.name), made by “\(root.name) completions fish”.
      # The verbs that were typed so far.
      function __\(root.name)_path
        set -l path \(root.name)
        set -l takes no
        for word in (commandline -opc)[2..-1]
          if test $takes = yes
            set takes no
          else if string match -q -- '-*' $word
            contains -- "$path $word" \(valued.isEmpty ? "''" : valued.joined(separator: " "))
            and set takes yes
          else
            contains -- "$path $word" \(verbs.isEmpty ? "''" : verbs)
            or break
            set path "$path $word"
          end
        end
        echo $path
      end

      function __\(root.name)_at
        test (__\(root.name)_path) = "$argv"
      end

      \(lines.joined(separator: "\n"))

      """
  }

  private func short(_ letter: Character?) -> String { letter.map { " -s \($0)" } ?? "" }

  // MARK: Quoting

  private func list(_ words: [String]) -> String { words.joined(separator: " ") }
  private func quoted(_ text: String) -> String { ShellQuoting.posix(text) }
  private func fishQuoted(_ text: String) -> String {
    "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
  }
}

enum ShellQuoting {
  /// One word for bash and zsh, whatever is in it.
  static func posix(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }
}
