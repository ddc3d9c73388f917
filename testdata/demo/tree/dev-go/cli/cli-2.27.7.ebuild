EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/urfave/cli/v2/@v/v2.27.7.mod -> github.com%2Furfave%2Fcli%2Fv2%2F@v%2Fv2.27.7.mod mirror://goproxy/github.com/urfave/cli/v2/@v/v2.27.7.zip -> github.com%2Furfave%2Fcli%2Fv2%2F@v%2Fv2.27.7.zip"
SLOT=0
