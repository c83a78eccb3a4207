"""How fast this machine trains a few small networks: what ``closedform bench`` measures."""
