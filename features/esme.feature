@esme
Feature: ESMEs

  A customer's program binds to the SMPP server, submits, is told what became of its
  messages, and can ask for, cancel and replace what has not left yet.

  Scenario Outline: A bind is answered
    Given a running gateway
    Then "<who>" binding as <kind> with password "<password>" is answered <status>

    Examples:
      | who    | kind        | password | status         |
      | foo    | transmitter | bar      | ESME_ROK       |
      | foo    | receiver    | bar      | ESME_ROK       |
      | foo    | transceiver | bar      | ESME_ROK       |
      | foo    | transceiver | wrong    | ESME_RINVPASWD |
      | nobody | transceiver | bar      | ESME_RINVPASWD |

  Scenario Outline: A transceiver gets the receipt that it asked for
    Given the SMSC says <state> with error 000 in its receipts
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | registered_delivery | <registered> |
    Then "foo" is answered ESME_ROK
    And "foo" gets a receipt for it that says <state>
    And the state of the message of "foo" becomes <query>

    Examples:
      | registered | state   | query         |
      | 1          | DELIVRD | DELIVERED     |
      | 17         | DELIVRD | DELIVERED     |
      | 2          | UNDELIV | UNDELIVERABLE |
      | 3          | DELIVRD | DELIVERED     |

  Scenario: Each registered_delivery, and what becomes of it
    Given the SMSC sends no receipts
    And a running gateway
    When "foo" binds as transceiver
    Then of messages that "foo" submits it gets what registered_delivery asks for:
      | registered_delivery | the SMSC says   | foo gets        |
      | 0                   | ENROUTE DELIVRD |                 |
      | 0                   | UNDELIV         |                 |
      | 1                   | ENROUTE DELIVRD | DELIVRD         |
      | 1                   | UNDELIV         | UNDELIV         |
      | 1                   | EXPIRED         | EXPIRED         |
      | 2                   | ENROUTE DELIVRD |                 |
      | 2                   | REJECTD         | REJECTD         |
      | 3                   | ENROUTE DELIVRD | DELIVRD         |
      | 3                   | UNDELIV         |                 |
      | 16                  | ENROUTE DELIVRD | ENROUTE         |
      | 16                  | ENROUTE UNDELIV | ENROUTE         |
      | 17                  | ENROUTE DELIVRD | ENROUTE DELIVRD |
      | 17                  | ENROUTE UNDELIV | ENROUTE UNDELIV |
      | 18                  | ENROUTE DELIVRD | ENROUTE         |
      | 18                  | ENROUTE UNDELIV | ENROUTE UNDELIV |
      | 19                  | ENROUTE DELIVRD | ENROUTE DELIVRD |
      | 12                  | ENROUTE DELIVRD |                 |
      | 1                   | DELIVRD         | DELIVRD         |

  Scenario: A message that waits is queried and cancelled
    Given the SMSC is down
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | text                | not wanted any more |
      | registered_delivery | 1                   |
    And the state of the message of "foo" becomes ENROUTE
    And "foo" cancels the message
    Then "foo" is answered ESME_ROK
    And "foo" gets a receipt for it that says DELETED
    And the state of the message of "foo" becomes DELETED
    When "foo" replaces the text of the message by "too late"
    Then "foo" is answered ESME_RREPLACEFAIL
    When "foo" submits a message with:
      | text | wanted |
    And the SMSC comes up
    Then the SMSC gets the message
    And "foo" has no other receipt

  Scenario: What was cancelled stays cancelled when the gateway starts again
    Given the SMSC is down
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | text | not wanted any more |
    And "foo" cancels the message
    Then "foo" is answered ESME_ROK
    When "foo" submits a message with:
      | text | wanted |
    And the gateway stops
    And the SMSC comes up
    And the gateway starts again
    Then the SMSC gets the message

  Scenario Outline: A message that waits is replaced
    Given the SMSC is down
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | text                | the old text |
      | registered_delivery | 0            |
    And "foo" replaces the text of the message by "an intermediate text"
    And "foo" replaces the text of the message by "<text>"
    Then "foo" is answered ESME_ROK
    When the SMSC comes up
    Then the SMSC gets a message with:
      | text | <text> |
    And "foo" gets a receipt for it that says DELIVRD

    Examples:
      | text          |
      | the new text  |
      | {long *100}   |

  Scenario: A message that has left can be neither cancelled nor replaced
    Given a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | registered_delivery | 1 |
    Then "foo" gets a receipt for it that says DELIVRD
    When "foo" cancels the message
    Then "foo" is answered ESME_RCANCELFAIL
    When "foo" replaces the text of the message by "too late"
    Then "foo" is answered ESME_RREPLACEFAIL

  Scenario: A message is its sender's alone
    Given the user "foo" with password "bar"
    And the user "other" with password "bar"
    And the SMSC is down
    And a running gateway
    When "foo" binds as transceiver
    And "other" binds as transceiver
    And "foo" submits a message with:
      | text | mine |
    And "other" queries the message of "foo"
    Then "other" is answered ESME_RINVMSGID
    When "other" cancels the message of "foo"
    Then "other" is answered ESME_RINVMSGID
    When "other" replaces the text of the message of "foo" by "yours"
    Then "other" is answered ESME_RINVMSGID
    When the SMSC comes up
    Then the SMSC gets the message

  @load
  Scenario: Every ESME gets the receipts of its own messages
    When 20 ESMEs with 2 binds each submit 100 messages each and ask for receipts
    Then each of them gets the receipts of his own messages, once
