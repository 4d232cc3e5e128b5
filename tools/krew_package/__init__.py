"""Packages `kubectl ohsb` for krew, the package manager of kubectl's plugins."""
