internal import SQLiteDatabase

/// The schema's steps in order. A step that was released is never edited.
enum Migrations {
  static let all = [
    migration0001, migration0002, migration0003, migration0004, migration0005, migration0006, migration0007, migration0008, migration0009,
  ]
}
