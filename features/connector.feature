@connector
Feature: Connectors to an SMSC

  A connector keeps its sessions bound and never has more messages unanswered on one of
  them than its window. What an SMSC cannot take now, or loses, is sent again.

  Scenario: The SMSC drops the connection
    Given a running gateway
    And the connector binds
    When the SMSC drops every connection
    Then the connector binds again
    When a message is sent
    Then the SMSC gets the message

  Scenario: The SMSC unbinds
    Given the SMSC answers nothing
    And a running gateway
    When a message is sent
    Then the SMSC gets the message
    When the SMSC answers again
    And the SMSC unbinds every session
    Then the SMSC gets the message again
    And the SMSC gets nothing else

  Scenario: An SMSC that answers no enquire_link is connected to anew
    Given the SMSC answers no enquire_link
    And the connector has:
      | elink_interval | 0.2 |
      | res_to         | 0.5 |
    And a running gateway
    Then the SMSC was asked to bind 2 times or more
    When a message is sent
    Then the SMSC gets the message

  Scenario: A transmitter and a receiver share an account at the SMSC
    Given a connector "out" to the SMSC "one"
    And the connector "out" has:
      | bind | transmitter |
    And a connector "in1" to the SMSC "one"
    And the connector "in1" has:
      | bind | receiver |
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC "one" gets the message
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | out              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | hello            |

  Scenario: Several connectors share an account at the SMSC
    Given a connector "out" to the SMSC "one"
    And the connector "out" has:
      | bind | transmitter |
    And a connector "in1" to the SMSC "one"
    And the connector "in1" has:
      | bind | receiver |
    And a connector "in2" to the SMSC "one"
    And the connector "in2" has:
      | bind | receiver |
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC "one" gets the message
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | out              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | hello            |

  Scenario: An SMSC connects, and the connector binds on that connection
    Given the connector waits for outbind
    And the connector has:
      | outbind_system_id | operator |
      | outbind_password  | letmein  |
    And a running gateway
    When the SMSC sends outbind as "operator" with the password "guess"
    Then no bind follows
    When the SMSC sends outbind as "operator" with the password "letmein"
    Then the connector is bound on that connection
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | hello            |
    When the SMSC drops every connection
    And the SMSC sends outbind as "operator" with the password "letmein"
    Then the connector is bound on that connection
    When a message is sent
    Then the SMSC gets the message

  Scenario: Messages keep their order through throttling
    Given the SMSC answers ESME_RTHROTTLED to the next 2 messages
    And the connector has:
      | strict_order | yes |
    And a running gateway
    When 1 clients send 5 messages each
    Then every answer was a Success
    And the SMSC takes every accepted message in the order of its acceptance

  Scenario: The SMSC is down when the gateway starts
    Given the SMSC is down
    And a running gateway
    When a message is sent
    Then it is accepted
    When the SMSC comes up
    Then the SMSC gets the message

  Scenario: The SMSC goes down and comes up again
    Given a running gateway
    When the SMSC is down
    And a message is sent
    Then it is accepted
    When the SMSC comes up again
    Then the SMSC gets the message
    And the SMSC gets nothing else

  Scenario: A refused bind is tried again
    Given the SMSC refuses the first 3 binds with ESME_RBINDFAIL
    And a running gateway
    When a message is sent
    Then the SMSC gets the message
    And the SMSC was asked to bind 4 times or more

  Scenario: Messages wait while the SMSC refuses the password
    Given the SMSC refuses binds with ESME_RINVPASWD
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC was asked to bind 3 times or more
    When the SMSC answers again
    Then the SMSC gets the message

  Scenario: A window is used up and never exceeded
    Given the SMSC answers nothing
    And the connector has:
      | window | 5 |
      | binds  | 2 |
    And a running gateway
    Then the SMSC has 2 bound sessions
    When 4 clients send 10 messages each
    Then every answer was a Success
    And the SMSC holds 10 unanswered messages and no more
    When the SMSC answers again
    And the SMSC drops every connection
    Then the SMSC gets every accepted message, at most 10 of them twice

  @load
  Scenario: Several binds under load, each within its window
    Given the SMSC takes 1 to 20 milliseconds for an answer
    And the SMSC throttles what exceeds 5 unanswered messages on a bind
    And the connector has:
      | window | 5 |
      | binds  | 3 |
    And a running gateway
    When 10 clients send 30 messages each
    Then every answer was a Success
    And the SMSC gets every accepted message once
    And the SMSC refused nothing

  @load
  Scenario: The throughput of a connector keeps an SMSC from throttling
    Given the SMSC throttles more than 40 messages a second
    And the connector has:
      | submit_throughput | 20 |
      | window            | 20 |
    And a running gateway
    When 5 clients send 12 messages each
    Then every answer was a Success
    And the SMSC gets every accepted message once
    And the SMSC refused nothing

  @load
  Scenario: An SMSC that throttles gets every message, when it can take it
    Given the SMSC answers ESME_RTHROTTLED to the next 25 messages
    And the setting [sm-listener] submit_error_retrial is "{'ESME_RTHROTTLED': {'count': 20, 'delay': 0.1}}"
    And a running gateway
    When 5 clients send 20 messages each
    Then every answer was a Success
    And the SMSC gets every accepted message once
    And the SMSC refused 25 messages

  Scenario: The SMSC takes a message and loses its answer
    Given the SMSC takes the next message and drops the connection in place of an answer
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC gets the message
    And the SMSC gets the message again
    And the SMSC gets nothing else

  Scenario: An answer that does not come in time
    Given the SMSC answers nothing
    And the setting [sm-listener] submit_retrial_delay_smppc_not_ready is "0.1"
    And the connector has:
      | res_to | 0.2 |
    And a running gateway
    When a message is sent
    Then the SMSC gets the message
    When the SMSC answers again
    Then the SMSC gets the message again

  Scenario: An answer that comes late is an answer
    Given the SMSC takes 500 to 500 milliseconds for an answer
    And the setting [sm-listener] submit_retrial_delay_smppc_not_ready is "1"
    # Nothing is sent before it is known what becomes of the message.
    And the connector has:
      | res_to       | 0.2 |
      | strict_order | yes |
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 1      |
    Then it is accepted
    And the SMSC gets the message
    And the page is called by POST with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
    And the SMSC gets nothing else

  Scenario: A message that is never answered is given up
    Given the SMSC answers nothing
    And the setting [sm-listener] submit_retrial_delay_smppc_not_ready is "0.05"
    And the setting [sm-listener] submit_max_losses is "2"
    And the connector has:
      | res_to | 0.2 |
    And a running gateway
    When a message is sent with:
      | dlr-url   | <page> |
      | dlr-level | 2      |
    Then it is accepted
    And the SMSC gets the message
    And the SMSC gets the message again
    And the page is called by POST with exactly:
      | id             | <id>    |
      | message_status | UNDELIV |
      | level          | 2       |
      | connector      | abc     |
      | id_smsc        | ND      |
      | subdate        | ND      |
      | donedate       | ND      |
      | sub            | ND      |
      | dlvrd          | ND      |
      | err            | ND      |
      | text           |         |
    And the SMSC gets nothing else

  @malformed
  Scenario Outline: An odd answer (<odd>) drops no bind
    Given a running gateway
    When the SMSC spoils its next answer by <odd>
    And 1 clients send 5 messages each
    Then every answer was a Success
    And the SMSC gets every accepted message, at most 1 of them twice
    And the SMSC has seen 1 connection

    Examples:
      | odd   |
      | body  |
      | empty |

  @malformed
  Scenario Outline: An answer that cannot be read or matched (<odd>) costs at most a repetition
    Given the setting [sm-listener] submit_retrial_delay_smppc_not_ready is "0.1"
    And the connector has:
      | res_to     | 2 |
      | pdu_red_to | 2 |
    And a running gateway
    When the SMSC spoils its next answer by <odd>
    And 1 clients send 5 messages each
    Then every answer was a Success
    And the SMSC gets every accepted message, at most 10 of them twice

    Examples:
      | odd         |
      | sequence    |
      | command     |
      | huge_length |
      | cut         |

  @load
  Scenario: The gateway stops in the middle of a load and loses nothing
    Given the SMSC takes 5 to 30 milliseconds for an answer
    And the connector has:
      | window | 20 |
    And a running gateway
    When 10 clients keep sending
    And 200 messages are accepted
    And the gateway stops
    And the clients stop
    And the gateway starts again
    Then the SMSC gets every accepted message once
