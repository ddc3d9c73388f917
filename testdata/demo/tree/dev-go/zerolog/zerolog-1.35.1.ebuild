EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/rs/zerolog/@v/v1.35.1.mod -> github.com%2Frs%2Fzerolog%2F@v%2Fv1.35.1.mod mirror://goproxy/github.com/rs/zerolog/@v/v1.35.1.zip -> github.com%2Frs%2Fzerolog%2F@v%2Fv1.35.1.zip"
SLOT=0
