@interop
Feature: SMSCs made of other SMPP stacks

  What two sides of one hand agree on proves little: here the SMSC is not ours.

  Scenario Outline: A message and its receipt with <stack>
    Given an SMSC made of <stack>
    And a running gateway
    When a message is sent with:
      | from       | 1234             |
      | content    | hello from <stack> |
      | dlr-url    | <page>           |
      | dlr-level  | 3                |
      | dlr-method | GET              |
    Then it is accepted
    And that SMSC gets "hello from <stack>"
    And its receipt is answered ESME_ROK
    And the page is called by GET with exactly:
      | id             | <id>     |
      | message_status | ESME_ROK |
      | level          | 1        |
      | connector      | abc      |
    And the page is called by GET with exactly:
      | id             | <id>               |
      | message_status | DELIVRD            |
      | level          | 2                  |
      | connector      | abc                |
      | id_smsc        | <id at the SMSC>   |
      | subdate        | <date>             |
      | donedate       | <date>             |
      | sub            | 001                |
      | dlvrd          | 001                |
      | err            | 000                |
      | text           | hello from <stack> |

    Examples:
      | stack   |
      | go-smpp |
      | gosmpp  |
