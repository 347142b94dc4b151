"""What the demo, the tests and the bundle's parity check need: two public-domain portraits and a clip made of them."""
