private enum Placeholder {}
