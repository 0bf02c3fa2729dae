"""How the matrix is run: processes, environments, upgrades. It knows no loss."""
