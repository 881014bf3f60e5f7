"""Owns the watch over what comes from others: stamps of feeds against forecasts. Decides nothing."""
