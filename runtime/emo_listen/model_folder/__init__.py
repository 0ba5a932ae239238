"""Reading and checking the files of a model folder."""
