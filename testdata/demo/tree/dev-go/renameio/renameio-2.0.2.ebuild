EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/google/renameio/v2/@v/v2.0.2.mod -> github.com%2Fgoogle%2Frenameio%2Fv2%2F@v%2Fv2.0.2.mod mirror://goproxy/github.com/google/renameio/v2/@v/v2.0.2.zip -> github.com%2Fgoogle%2Frenameio%2Fv2%2F@v%2Fv2.0.2.zip"
SLOT=0
