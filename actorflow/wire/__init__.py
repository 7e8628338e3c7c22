"""Bytes: batches, codecs, frames, control messages. Home of msgspec, cloudpickle, lz4 and xxhash."""
