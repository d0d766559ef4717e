"""Questions about whole scenes as jobs: kept in a database, worked on in threads, found again after a crash.

`desk.JobDesk` is what a server holds; the doors know it alone. Nothing here knows a protocol. Needs the extra
`gateway-server`.
"""
