"""Publishers' layouts on disk, one file each. `circuits.dictionaries.load` lists them."""
