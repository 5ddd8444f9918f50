"""Pages with sound: of runs, of steering, and of an autoencoder's features; plain files that open from the disk."""
