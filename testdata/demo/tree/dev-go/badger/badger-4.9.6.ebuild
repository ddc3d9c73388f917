EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/dgraph-io/badger/v4/@v/v4.9.6.mod -> github.com%2Fdgraph-io%2Fbadger%2Fv4%2F@v%2Fv4.9.6.mod mirror://goproxy/github.com/dgraph-io/badger/v4/@v/v4.9.6.zip -> github.com%2Fdgraph-io%2Fbadger%2Fv4%2F@v%2Fv4.9.6.zip"
SLOT=0
