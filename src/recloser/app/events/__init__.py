"""Owns projects that detect events in phasors instead of forecasting load: settings, live windows, evidence."""
