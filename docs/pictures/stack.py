"""The order of a stack."""

from .svg import Drawing

LAYERS = (
    ("Timeout", "bounds the call", "amber"),
    ("IdempotencyKey", "one key for the call", "purple"),
    ("Retry", "repeats what is inside", "blue"),
    ("CircuitBreaker", "sees attempts", "red"),
    ("ConcurrencyLimit", "a slot for an attempt", "green"),
    ("Throttle", "spaces what goes out", "green"),
    ("ReadBody", "reads the body as part of it", "purple"),
    ("Timeout", "bounds an attempt", "amber"),
)


def order() -> Drawing:
    """Boxes in boxes, the outermost policy outermost."""
    step, core = 23, 26
    height = len(LAYERS) * (step + 5) + core + 4
    drawing = Drawing(height, "The recommended order of a stack, as boxes in boxes")
    for depth, (name, what, colour) in enumerate(LAYERS):
        x, y = 2 + 8 * depth, 2 + step * depth
        drawing.box(x, y, 436 - 16 * depth, height - 4 - (step + 5) * depth, colour, "line", round=5)
        drawing.text(x + 8, y + 16, name, colour, bold=True)
        drawing.text(432 - 8 * depth - 2, y + 16, what, "muted", at="end")
    y = 2 + step * len(LAYERS) + 4
    drawing.text(220, y + 14, "connection pool, network, server", "ink", at="middle")
    return drawing
