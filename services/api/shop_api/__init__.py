"""Api: takes orders. Prices them by catalog, charges them through payments, queues them for the worker."""
