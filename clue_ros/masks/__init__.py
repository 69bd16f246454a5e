"""Dense answers: which pixels are the target, and which parts of an image an instruction is about at all."""
