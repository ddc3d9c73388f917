EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/google/go-cmp/@v/v9.9.9.zip -> github.com%2Fgoogle%2Fgo-cmp%2F@v%2Fv9.9.9.zip"
SLOT=0
