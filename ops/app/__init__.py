"""A page in the browser that predicts and explains videos: analysis, its view as HTML, and the server."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.app.analysis import open_analyst as open_analyst
    from ops.app.server import ServerOptions as ServerOptions
    from ops.app.server import serve as serve

__getattr__ = lazy_names(__name__, {"open_analyst": "analysis", "ServerOptions": "server", "serve": "server"})
