"""Owns taking a release from stage to stage: offered, checked again and accepted. Trains and judges nothing."""
