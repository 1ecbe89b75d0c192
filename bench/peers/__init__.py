"""Other gateways that do the same job, to compare with."""
