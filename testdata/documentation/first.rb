# A message with the fewest parameters.
require 'net/http'

uri = URI(ARGV[0] + '/send')
uri.query = URI.encode_www_form(:username => 'foo', :password => 'bar', :to => '+336222172', :content => 'Hello world')
puts Net::HTTP.get_response(uri).body
