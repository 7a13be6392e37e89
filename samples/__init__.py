"""Everything the demonstration needs is generated here: pictures, clips, damage, and hash sets to find them with."""
