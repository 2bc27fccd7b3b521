"""What several tests share: data sets, oracles and strategies."""
