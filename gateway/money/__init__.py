"""What jobs cost: prices, budgets and the ledger. Amounts are whole micro-units of the one currency."""
