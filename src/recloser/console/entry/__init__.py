"""Owns the way in: sessions in cookies, forms that no other site can send, acts and how fast. Judges no model."""
