"""Files by URI: local disks, and whatever pyarrow or fsspec reaches."""
