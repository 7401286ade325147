// Closures that C libraries call on their own threads must not stand in this file: its code belongs to the main actor.
import CommandLineKit
import Platform

Memory.boundFree()
await DaemonCommands.tool.main()
