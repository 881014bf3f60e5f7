"""Owns what becomes of many data frames at once: arrays, readings of points, streams put together. No connection."""
