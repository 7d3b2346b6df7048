"""Published algorithms against overload, as policies of ours, to be compared with Seawall's own.

Each says where it comes from, and keeps to the values published there. They are written to be read, and for virtual
time: no locks.
"""
