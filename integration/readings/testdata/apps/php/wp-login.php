<?php // The router answers for it; the server only has to find it.
