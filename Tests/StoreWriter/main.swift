// storewriter FOLDER COUNT: opens the store in FOLDER, works on COUNT blocks and closes it; for tests that stop it in the middle.
// What it is about to do and what was acknowledged stands line by line on standard output. It exits 0 when everything was acknowledged,
// and 3 when the disk failed.

import Glibc

guard CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[2]) else {
  StoreWriter.say("usage: storewriter FOLDER COUNT")
  exit(2)
}
exit(await StoreWriter.run(folder: CommandLine.arguments[1], count: count))
