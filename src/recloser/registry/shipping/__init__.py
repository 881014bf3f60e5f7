"""Owns releases on their way elsewhere: image layouts, build contexts, bundles for places without a network.

Does not verify packages (`registry.package` does) and runs no container engine.
"""
