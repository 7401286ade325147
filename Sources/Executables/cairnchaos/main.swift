import CommandLineKit

await ChaosCommands.tool.main()
