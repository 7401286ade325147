import CommandLineKit

await SimulateCommand.tool.main()
