await BenchCommands.tool.main()
