"""Owns one policy's scratch project in a replay: made, gone on with after a kill, what it cost."""
