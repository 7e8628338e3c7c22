"""Files by URI, wherever they are. Home of pyarrow.fs and fsspec."""
