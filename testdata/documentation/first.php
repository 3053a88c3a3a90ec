<?php
// A message with the fewest parameters.
$query = '?username=foo&password=bar&to=' . urlencode('+336222172') . '&content=' . urlencode('Hello world !');
echo file_get_contents($argv[1] . '/send' . $query), "\n";
