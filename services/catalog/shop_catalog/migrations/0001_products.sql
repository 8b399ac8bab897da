CREATE TABLE products (
    sku text PRIMARY KEY CHECK (sku ~ '^[A-Z0-9][A-Z0-9-]{1,31}$'),
    name text NOT NULL,
    price_cents bigint NOT NULL CHECK (price_cents > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$')
);

INSERT INTO products (sku, name, price_cents, currency) VALUES
    ('MUG-01', 'Mug, white', 900, 'EUR'),
    ('MUG-02', 'Mug, blue', 950, 'EUR'),
    ('TEA-EARL', 'Earl Grey, 100 g', 620, 'EUR'),
    ('TEA-MINT', 'Peppermint, 50 g', 480, 'EUR'),
    ('POT-1L', 'Teapot, 1 l', 3450, 'EUR'),
    ('KETTLE-2', 'Kettle, 1.7 l', 5990, 'EUR'),
    ('SPOON-6', 'Spoons, set of six', 1890, 'EUR'),
    ('FILTER-80', 'Paper filters, 80', 350, 'EUR'),
    ('HONEY-500', 'Honey, 500 g', 790, 'EUR'),
    ('TRAY-OAK', 'Tray, oak', 2700, 'EUR');
