"""What Seawall does where there is very much of something: calls in line, requests, origins, open circuits.

- `lines`: thousands of waiting calls, cancelled or let go together.
- `bursts`: the rate of 50,000 GETs beside that of 1,000.
- `memory`: bytes per waiting call, per idle key and per open circuit.
- `keys`: a million origins through one bounded `State`, and a hundred thousand open circuits.
"""
