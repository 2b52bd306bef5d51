"""What `egress` asks before a byte leaves, each question in a file of its own.

`permit`: may these bytes go? `shape`: are they plain chat messages? `findings`: is anything private in them?
`frames`: which parts are our own pinned words? `allow`: what is a false alarm? `wire`: how a message is put.
`remains`: what masks left standing. `answer`: can what comes back be used?
"""
