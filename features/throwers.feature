@throwers
Feature: What waits for customers

  What a customer is to be told is kept until he takes it: for an ESME until it binds, for a page until
  it acknowledges. What is given up becomes a dead letter, which an operator sees, brings back or drops.

  @load
  Scenario: An ESME stays away while the gateway is restarted
    Given MO go to "smpps(foo)"
    And a running gateway
    When 10 mobiles write 20 messages each
    And "foo" submits 200 messages to them as transmitter, asks for receipts and leaves
    And the gateway stops
    And the gateway starts again
    And 10 mobiles write 10 messages each
    And the gateway stops
    And the gateway starts again
    And the ESME "foo" binds
    Then the ESME "foo" gets all that waited, in order, once

  # What moves when the gateway dies may move again (on RabbitMQ), and so may a message that was not answered yet.
  @load @process
  Scenario: An ESME stays away while the gateway is killed
    Given MO go to "smpps(foo)"
    And a running gateway
    When 10 mobiles keep writing
    And 100 of their messages are acknowledged
    And "foo" submits 100 messages to them as transmitter, asks for receipts and leaves
    And the gateway is killed
    And the gateway starts again
    And 100 of their messages are acknowledged
    And the gateway is killed
    And the mobiles stop
    And the gateway starts again
    And the ESME "foo" binds
    Then the ESME "foo" gets all that waited, in order, at most 512 of it twice

  Scenario: One who stays away delays nobody
    Given the user "foo" with password "bar"
    And the user "bob" with password "bob"
    And the provisioning file also declares:
      """
      filters:
        - {fid: for-foo, type: DestinationAddrFilter, destination_addr: '^ACME'}
      mo_routes:
        - {type: StaticMORoute, order: 10, filters: [for-foo], connector: smpps(foo)}
        - {type: DefaultRoute, connector: smpps(bob)}
      """
    And a running gateway
    And the ESME "bob" binds
    When 5 mobiles write 40 messages each
    And a mobile sends "for bob"
    Then the ESME "bob" gets, in this order:
      | text    |
      | for bob |
    When the ESME "foo" binds
    Then the ESME "foo" gets all that waited, in order, once

  Scenario: What an ESME refuses for good
    Given MO go to "smpps(foo)"
    And a running gateway
    And the ESME "foo" answers ESME_RX_P_APPN to what it gets
    And the ESME "foo" binds
    When a mobile sends "not now"
    And the operator logs in
    Then "dlq -l" shows at last:
      """
      /#Letter id +Queue +Cause +Age +Destination +Reason/
      /#\w{18} +smpps\.foo +refused +\w+ +foo 85111 +try 1 at foo: ESME_RX_P_APPN/
      Total dead letters: 1
      """
    And the ESME "foo" refused 1 message
    And "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#smpps\.foo +refused +1/
      Total dead letters: 1
      """
    When a mobile sends "nor this"
    Then "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#smpps\.foo +refused +2/
      Total dead letters: 2
      """
    When the ESME "foo" answers ESME_ROK to what it gets
    And he types "dlq --replay <letter>"
    Then he is told "Replayed dead letters: 1"
    And the ESME "foo" gets, in this order:
      | from   | to    | text    |
      | 336123 | 85111 | not now |
    When he types "dlq --replay all"
    Then he is told "Replayed dead letters: 1"
    And the ESME "foo" gets, in this order:
      | from   | to    | text     |
      | 336123 | 85111 | nor this |
    When he types "dlq -l"
    Then he is told "Total dead letters: 0"

  Scenario: What an ESME never takes
    Given MO go to "smpps(foo)"
    And the setting [dlr-thrower] max_retries is "2"
    And a running gateway
    And the ESME "foo" answers ESME_RX_T_APPN to what it gets
    And the ESME "foo" binds
    When a mobile sends "not now"
    And the operator logs in
    Then "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#smpps\.foo +retries +1/
      Total dead letters: 1
      """
    And the ESME "foo" refused 3 messages
    When he types "dlq --purge all"
    Then he is told "Purged dead letters: 1"
    When the ESME "foo" answers ESME_ROK to what it gets
    And a mobile sends "hello"
    Then the ESME "foo" gets, in this order:
      | text  |
      | hello |

  Scenario Outline: An MO for a page that answers <status> for ever
    Given MO go to "http(shop)"
    And the setting [deliversm-thrower] max_retries is "2"
    And the page "/shop" answers <status> "ACK/Jasmin"
    And a running gateway
    When a mobile sends "hello"
    And the operator logs in
    Then "dlq -l" shows at last:
      """
      /#Letter id +Queue +Cause +Age +Destination +Reason/
      /#\w{18} +deliver_sm_thrower\.http +<cause> +\w+ +http:.*/shop +try <calls> of http:.*/
      Total dead letters: 1
      """
    And the page "/shop" was called <calls> times
    And "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#deliver_sm_thrower\.http +<cause> +1/
      Total dead letters: 1
      """
    When the page "/shop" is well again
    And he types "dlq --replay <letter>"
    Then he is told "Replayed dead letters: 1"
    And the page "/shop" is called by GET with:
      | from    | 336123 |
      | to      | 85111  |
      | content | hello  |
    When he types "dlq -l"
    Then he is told "Total dead letters: 0"

    Examples:
      | status | cause   | calls |
      | 404    | refused | 1     |
      | 500    | retries | 3     |

  Scenario Outline: A DLR for a page that answers <status> for ever
    Given the setting [dlr-thrower] max_retries is "2"
    And the page "/bank" answers <status> "ACK/Jasmin"
    And a running gateway
    When a message is sent with:
      | dlr-url    | {pages}/bank?key=1 |
      | dlr-level  | 1                  |
      | dlr-method | <method>           |
    Then it is accepted
    When the operator logs in
    Then "dlq -l dlr_thrower.http" shows at last:
      """
      /#Letter id +Queue +Cause +Age +Destination +Reason/
      /#\w{18} +dlr_thrower\.http +<cause> +\w+ +http:.*/bank +try <calls> of http:.*/
      Total dead letters: 1
      """
    And the page "/bank" was called <calls> times
    When the page "/bank" answers 500 "not yet" to the next 2 calls
    And he types "dlq --replay all dlr_thrower.http"
    Then he is told "Replayed dead letters: 1"
    And the page "/bank" is called by <method> with:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
    And the page "/bank" was called <all> times
    When he types "stats --deadletters"
    Then he is told "Total dead letters: 0"

    Examples:
      | status | method | cause   | calls | all |
      | 404    | GET    | refused | 1     | 4   |
      | 500    | POST   | retries | 3     | 6   |

  Scenario: What is purged is gone
    Given MO go to "http(shop)"
    And the page "/shop" answers 404 "no"
    And a running gateway
    When a mobile sends "one"
    And a mobile sends "two"
    And the operator logs in
    Then "stats --deadletters" shows at last the line "Total dead letters: 2"
    When he types "dlq -l"
    And he types "dlq --purge <letter>"
    Then he is told "Purged dead letters: 1"
    When he types "dlq --replay <letter>"
    Then he is told "There is no such dead letter: <letter>"
    When the page "/shop" is well again
    And he types "dlq --replay all"
    Then he is told "Replayed dead letters: 1"
    And the page "/shop" is called by GET with:
      | content | /one\|two/ |
    When he types "stats --deadletters"
    Then he is told "Total dead letters: 0"
    And the page "/shop" was called 3 times

  Scenario: Dead letters outlive a restart
    Given MO go to "http(shop)"
    And the page "/shop" answers 404 "no"
    And a running gateway
    When a mobile sends "hello"
    And the page "/shop" was called 1 time
    And the gateway stops
    And the gateway starts again
    And the operator logs in
    Then "dlq -l" shows at last the line "Total dead letters: 1"
    When the page "/shop" is well again
    And he types "dlq --replay <letter>"
    Then he is told "Replayed dead letters: 1"
    And the page "/shop" is called by GET with:
      | content | hello |

  Scenario: A customer whose host never answers delays no other
    Given the setting [deliversm-thrower] http_timeout is "3600"
    And the setting [dlr-thrower] http_timeout is "3600"
    And the setting [deliversm-thrower] max_per_host is "4"
    And the setting [dlr-thrower] max_per_host is "4"
    And the provisioning file also declares:
      """
      http_connectors:
        - {cid: dead, url: '{silent}/mo', method: POST}
        - {cid: shop, url: '{pages}/shop', method: GET}
      filters:
        - {fid: for-dead, type: DestinationAddrFilter, destination_addr: '^ACME'}
      mo_routes:
        - {type: StaticMORoute, order: 10, filters: [for-dead], connector: http(dead)}
        - {type: DefaultRoute, connector: http(shop)}
      """
    And a running gateway
    When 10 mobiles write 10 messages each
    Then the silent host has 4 calls of "/mo" and no more
    When a mobile sends "for the shop"
    Then the page "/shop" is called by GET with:
      | content | for the shop |
    When 100 messages are sent one after the other with:
      | dlr-url   | {silent}/dlr |
      | dlr-level | 1            |
    Then the silent host has 4 calls of "/dlr" and no more
    When a message is sent with:
      | dlr-url   | {pages}/bank |
      | dlr-level | 1            |
    Then the page "/bank" is called by POST with:
      | id | <id> |
    And the silent host has 4 calls of "/mo" and no more

  Scenario: A host that never answers is given up in time
    Given MO go to "http(shop)"
    And the setting [deliversm-thrower] http_timeout is "0.2"
    And the setting [deliversm-thrower] max_retries is "1"
    And the provisioning file also declares:
      """
      http_connectors:
        - {cid: dead, url: '{silent}/mo', method: GET}
      filters:
        - {fid: for-dead, type: DestinationAddrFilter, destination_addr: '^666'}
      mo_routes:
        - {type: StaticMORoute, order: 10, filters: [for-dead], connector: http(dead)}
      """
    And a running gateway
    When a mobile sends "hello" with:
      | to | 666 |
    And the operator logs in
    Then "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#deliver_sm_thrower\.http +retries +1/
      Total dead letters: 1
      """
    And the silent host has 2 calls of "/mo" and no more

  Scenario Outline: A redirect by <status> is not followed
    Given MO go to "http(shop)"
    And the setting [deliversm-thrower] max_retries is "1"
    And the setting [dlr-thrower] max_retries is "1"
    And the page "/shop" redirects to the page "/elsewhere" by <status>
    And a running gateway
    When a mobile sends "hello"
    And a message is sent with:
      | dlr-url    | {pages}/shop |
      | dlr-level  | 1            |
      | dlr-method | <method>     |
    And the operator logs in
    Then "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#deliver_sm_thrower\.http +retries +1/
      /#dlr_thrower\.http +retries +1/
      Total dead letters: 2
      """
    And the page "/shop" was called 4 times
    And the page "/elsewhere" was called 0 times

    Examples:
      | status | method |
      | 301    | GET    |
      | 302    | POST   |
      | 303    | POST   |
      | 307    | POST   |
      | 308    | GET    |

  Scenario Outline: Tries and delays are those of the thrower's settings
    Given MO go to "http(shop)"
    And the setting [deliversm-thrower] max_retries is "<mo>"
    And the setting [dlr-thrower] max_retries is "<dlr>"
    And the page "/shop" answers 500 "no"
    And the page "/bank" answers 503 "no"
    And a running gateway
    When a mobile sends "hello"
    And a message is sent with:
      | dlr-url    | {pages}/bank |
      | dlr-level  | 1            |
    And the operator logs in
    Then "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#deliver_sm_thrower\.http +retries +1/
      /#dlr_thrower\.http +retries +1/
      Total dead letters: 2
      """
    And the page "/shop" was called <mo calls> times
    And the page "/bank" was called <dlr calls> times

    Examples:
      | mo | mo calls | dlr | dlr calls |
      | 0  | 1        | 3   | 4         |
      | 4  | 5        | 0   | 1         |

  Scenario: A delay of retries is kept over a restart, and others do not wait for it
    Given MO go to "http(shop)"
    And the setting [deliversm-thrower] retry_delay is "3600"
    And the setting [dlr-thrower] retry_delay is "7200"
    And the page "/shop" answers 500 "no" to the first 1 call
    And the page "/bank" answers 500 "no" to the first 1 call
    And a running gateway
    When a mobile sends "first"
    And a message is sent with:
      | dlr-url    | {pages}/bank |
      | dlr-level  | 1            |
    Then the log "deliversm-thrower.log" has a line with "try=1 in=1h0m0s"
    And the log "dlr-thrower.log" has a line with "try=1 in=2h0m0s"
    When the gateway stops
    And the gateway starts again
    And a mobile sends "second"
    Then the page "/shop" is called by GET with:
      | content | second |
    When a message is sent with:
      | dlr-url    | {pages}/bank |
      | dlr-level  | 1            |
    Then the page "/bank" is called by POST with:
      | id | <id> |
    And the page "/shop" was called 2 times
    And the page "/bank" was called 2 times
