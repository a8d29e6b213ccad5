"""Simulated movies."""
