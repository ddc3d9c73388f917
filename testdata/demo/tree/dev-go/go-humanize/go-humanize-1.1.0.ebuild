EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/dustin/go-humanize/@v/v1.1.0.mod -> github.com%2Fdustin%2Fgo-humanize%2F@v%2Fv1.1.0.mod mirror://goproxy/github.com/dustin/go-humanize/@v/v1.1.0.zip -> github.com%2Fdustin%2Fgo-humanize%2F@v%2Fv1.1.0.zip"
SLOT=0
