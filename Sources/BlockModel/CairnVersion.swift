/// The version that every program of ours answers to `--version` with.
package enum CairnVersion {
  package static let text = "0.1.0"
}
