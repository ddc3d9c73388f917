EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/gofrs/flock/@v/v0.13.1.mod -> github.com%2Fgofrs%2Fflock%2F@v%2Fv0.13.1.mod mirror://goproxy/github.com/gofrs/flock/@v/v0.13.1.zip -> github.com%2Fgofrs%2Fflock%2F@v%2Fv0.13.1.zip"
SLOT=0
