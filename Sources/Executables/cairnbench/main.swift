import CommandLineKit

await BenchCommands.tool.main()
