import CommandLineKit

await OperatorTool.tool.main()
